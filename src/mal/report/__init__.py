"""Pictures and pages that let a person judge masks by eye."""
