"""
``ENGINE = "broken"``: the memory backend with a defect, named by
``OPTIONS["defect"]``. Each is one that a store's author may well make.
"""
