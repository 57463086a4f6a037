// Package tuning decides what might make a broker cheaper or faster, and whether a change did.
// It is pure: profiles, figures and results go in, proposals and verdicts come out; whoever
// has the broker runs what it asks for (cmd/tune).
//
//	Observation ──Rank──▶ shares of cost ──rules──▶ Proposal (one change)
//	     ▲                                              │
//	     └── keep it, observe again ◀── Judge ◀── A B A B …
//
// A rule is a row of a table: when it speaks, in words and figures, and which one thing it
// would change. That a rule speaks proves nothing. A change is kept only when the runs tell it
// from what was there before, by the statistics of package results, and nothing that counts
// got worse.
package tuning
