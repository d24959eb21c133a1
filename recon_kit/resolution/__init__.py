"""What is left goes to a person: cases with a stable identity, owners and clocks."""
