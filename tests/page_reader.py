"""What a page of HTML holds, read by the parser of the standard library."""

import csv
import io
from html.parser import HTMLParser
from urllib.parse import unquote


class PageReader(HTMLParser):
    """Elements, text and numbers of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.numbers, self.csv = [], [], [], {}
        self.text = []
        self._of = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        known = dict(attributes)
        self.tags.append(tag)
        self.attributes += attributes
        self._of.append(tag)
        if tag == "data":
            self.numbers.append(float(known["value"]))
        if "download" in known:
            text = unquote(known["href"].partition(",")[2])
            self.csv[known["download"]] = list(csv.DictReader(io.StringIO(text)))

    def handle_data(self, data):
        if self._of[-1:] not in (["script"], ["style"]):
            self.text.append(data)

    def handle_endtag(self, tag):
        while self._of and self._of.pop() != tag:
            pass
