"""How results show themselves: tables, charts, views, reports and exports."""
