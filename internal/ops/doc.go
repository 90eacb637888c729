// Package ops has the documents that operators see: in the API, the page, kubectl and saved files.
//
// In: what a replica knows of a kind, as a View. Out: documents, plain values with JSON names.
// Invariant: pure; a time is RFC 3339, a duration is text such as 1m30s, and what is not known is
// absent and never zero.
package ops
