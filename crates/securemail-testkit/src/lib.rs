//! Conformance suites, back-ends in memory, simulated time, test CA, signed DNS in process.
