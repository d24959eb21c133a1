"""What hangs together: connected components of a graph that is given as a query."""

from __future__ import annotations


def components_sql(links: str) -> str:
    """SQL whose rows `(node, root)` name for each node the smallest node it hangs together with.

    Args:
        links: a query of pairs `a, b`; the direction does not matter.
    """
    return f"""
with recursive given as ({links}), links as (
    select a, b from given union all select b, a from given
), reach(node, root) using key (node) as (
    select a, min(least(a, b)) from links group by a
    union
    select l.a, min(r.root) from reach r join links l on l.b = r.node
    join recurring.reach own on own.node = l.a
    where r.root < own.root group by l.a
)
select node, root from reach"""
