// Package bridge lets this module's test kit reach what package raft does not
// export. It holds variables that package raft sets when it is initialized,
// since it cannot be imported from here; each takes a *raft.Raft, or another of
// its types, as any. Nothing that ships calls them.
package bridge
