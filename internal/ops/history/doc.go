// Package history keeps a kind's timeline and decisions, and makes what is stored of them.
//
// In: from the leader, each tick's decision and what it was made from, moves, and what persons did.
// Out: entries (ops.Entry), pieces of at most 256 KiB to store, at most 1 MiB a day, and entries
// again from pieces. Invariant: pure; what cannot be recorded, stored or read is a gap that says
// so, and never an error for the rest.
//
//	Recorder: ticks, moves, changes ─► records that wait
//	Append:   contents, the last piece, records ─► an Update: what is to be stored, in one
//	          transaction
//	Pieces:   contents, pieces ─► entries, decisions
//
// The document `history` is the table of contents; the pieces are its parts. docs/formats.md has
// the format.
package history
