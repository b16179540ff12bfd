"""The review of masks by a person: the journal of decisions, the server of the page, and the export."""
