"""The pictures of a report, one idea a file: each draws one matplotlib figure from arrays, none knows of files."""
