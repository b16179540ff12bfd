"""The parts of `mal auto`: what it found, what it trains, which network it keeps, and what it writes."""
