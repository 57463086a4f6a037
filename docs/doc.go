// Package docs is the pages that people read. Nothing is in it but tests: what a page shows is compiled, parsed or
// typed as it stands there, and a block that no test claims fails.
package docs
