"""Facts as they were told: append-only segments, one SQLite commit point, snapshots as-of.

| module | idea |
| --- | --- |
| `store`, `care` | the one door: receive, commit, append, snapshot; verify, backup, erase |
| `batches` | one file's events, with counts that tie, or nothing |
| `seal` | identity: keys, hashes, order of versions |
| `dedupe` | new, restated, duplicate or possibly so |
| `segments`, `keys` | parquet files by hash; the index of keys |
| `snapshot` | views as of a sequence; which telling is current |
| `receipts` | when an event was first heard of |
| `runs`, `entries` | what runs derive; what people say |
| `catalog`, `tables` | SQLite, the only commit point; its tables, once |
| `compact`, `erase` | files written anew: many as one, without a person |
| `successors` | which file is read now |
| `backup`, `litter` | a checked copy; what nothing is read from |
| `retention` | how long received files are kept |
| `hashchain`, `verify` | one link per commit; checking all of it |
| `files`, `lock` | durable files; one writer at a time |
| `engine` | the only maker of DuckDB connections |
"""
