"""What the help of the whole program ends with: what holds for every command."""

EPILOG = """\
examples:
  %(prog)s balance
      balance a ticket that comes with the package, and say what it saves
  %(prog)s balance --help
      what a command does, its options and their defaults
  %(prog)s evaluate --quiet --csv | head -1
      tables alone, or CSV and JSON for other programs

exit status:
    0    it is done
    1    the work failed
    2    wrong options, or values that are not accepted
    130  cancelled by Ctrl-C; what is kept is said
    141  the reader of the output closed it before its end
    143  cancelled by SIGTERM, in the same way

environment:
    NO_COLOR     no colors, if it is set to anything
    FORCE_COLOR  colors and bold headers in pipes, too
    COLUMNS      columns of tables and help (default: of the terminal, or 160)
"""
