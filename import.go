package raft

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// ImportSnapshot makes a new cluster of a backup that ExportSnapshot has
// written: it puts the backup into a founding member's empty storage. Every
// founding member imports the same backup with the same Bootstrap and Cluster,
// and then starts with the same configuration.
//
// Of cfg it takes ID, Group, Storage, Bootstrap, which lists the members of the
// new cluster, and Cluster, its name, which must not be the old one's: members
// of the two must refuse each other. Leave Cluster empty and it is a digest of
// Bootstrap and backup, so that members refuse each other if they were not given
// the same ones.
//
// It is for founding only. A member that loses its storage later is started
// with empty storage, as any other one: with the backup it would have forgotten
// what it has voted for and acknowledged in the new cluster. Sessions of package
// session, being part of the state, go on.
//
// Errors: a *ConfigError; a *BackupError for what is not a whole backup; those
// of r; ErrNotEmpty, also when a later backup has been imported in part; those of
// the storage. After an error nothing has been imported, and it may be tried
// again.
func ImportSnapshot(cfg Config, r io.Reader) (Backup, error) {
	if err := cfg.validateImport(); err != nil {
		return Backup{}, err
	}
	b, header, err := readBackup(r)
	if err != nil {
		return Backup{}, err
	}
	if cfg.Cluster == b.Cluster {
		return Backup{}, &ConfigError{"Cluster", fmt.Sprintf("must not be that of the backup's cluster, %q", b.Cluster)}
	}
	identity := Identity{Cluster: cfg.Cluster, Node: cfg.ID}
	if identity.Cluster == "" {
		identity.Cluster = clusterDigest(cfg.Bootstrap, header...)
	}
	s := b.Snapshot.Clone()
	s.Membership, s.MembershipIndex = foundingMembership(cfg.Bootstrap), s.Index
	if err := requireEmpty(cfg.Storage, &s); err != nil {
		return Backup{}, err
	}
	if err := importData(cfg.Storage, s, r); err != nil {
		return Backup{}, err
	}
	// Only now does the storage belong to somebody, who can start.
	state := HardState{Term: s.Term, Commit: s.Index, Unmarked: true}
	return b, saveFirst(cfg.Storage, Write{Seq: 1, Identity: identity, HardState: state, Snapshot: &s})
}

func (c *Config) validateImport() error {
	switch {
	case c.ID == 0:
		return &ConfigError{"ID", "must not be 0"}
	case c.Storage == nil:
		return &ConfigError{"Storage", "must not be nil"}
	case len(c.Cluster) > maxClusterBytes:
		return tooLongName(c.Cluster)
	case len(c.Bootstrap) == 0:
		return &ConfigError{"Bootstrap", "must list the members of the new cluster"}
	}
	return c.validateBootstrap()
}

// requireEmpty allows for data of an import that was interrupted, unless what
// is to come would not replace it.
func requireEmpty(storage Storage, s *Snapshot) error {
	state, err := storage.Load()
	switch {
	case err != nil:
		return fmt.Errorf("raft: storage: %w", err)
	case state.Identity != (Identity{}):
		return fmt.Errorf("%w: it belongs to node %d of cluster %q", ErrNotEmpty, state.Identity.Node, state.Identity.Cluster)
	case state.HardState != (HardState{}) || state.Last > state.Snapshot.Index || state.Snapshot.Index > s.Index:
		return fmt.Errorf("%w: it holds entries up to %d", ErrNotEmpty, state.Last)
	}
	return nil
}

// importData commits a backup's data as snapshot s.
func importData(storage Storage, s Snapshot, r io.Reader) error {
	w, err := storage.CreateSnapshot(s)
	if err != nil {
		return fmt.Errorf("raft: import a backup: %w", err)
	}
	defer w.Close()
	sum := crc32.New(castagnoli)
	read, err := io.Copy(io.MultiWriter(w, sum), io.LimitReader(r, int64(min(s.Size, 1<<62))))
	switch {
	case err != nil:
		return fmt.Errorf("raft: import a backup: %w", err)
	case uint64(read) < s.Size:
		return badBackup("it is cut short: of %d bytes of data, %d are there", s.Size, read)
	case sum.Sum32() != s.Checksum:
		return badBackup("its data is damaged: the checksum is %08x instead of %08x", sum.Sum32(), s.Checksum)
	}
	switch _, err := io.ReadFull(r, make([]byte, 1)); {
	case err == nil:
		return badBackup("there is more behind its end")
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("raft: import a backup: %w", err)
	}
	if err := w.Commit(); err != nil {
		return fmt.Errorf("raft: import a backup: %w", err)
	}
	return nil
}
