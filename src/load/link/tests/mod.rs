//! Links against real servers: a stock one, and hand-written ones that do what none should.
