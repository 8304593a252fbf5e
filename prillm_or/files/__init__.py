"""Files: markets, changes and tables read with every refusal at once; names of what is shipped."""
