"""The commands of ``mal``, one module each: ``make_parser`` and ``run``; heavy imports wait for `run`."""
