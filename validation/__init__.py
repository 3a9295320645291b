"""The hardware model beside other people's tools and published numbers.

    python -m validation sanafe               # SANA-FE, where the PEs are its cores
    python -m validation sanafe --detailed    # and what its network on chip adds
    python -m validation eyeriss-v2 FOLDER    # published cycles of an Eyeriss v2 PE
    python -m validation forms                # MINT and SATO as Prosperity counts them
    python -m validation published            # speed-ups of LoAS and Prosperity

Every module makes one `Check`: a table, and whether what must be equal is. What each
of them tests, and what it does not: ``docs/validation.md``.
"""
