"""What a run found, for people and programs: a page, a table, a JSON dict. All of it reads the `Summary` alone."""
