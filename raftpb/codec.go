package raftpb

// (being written) signatures that the other packages use:

// EncodedLen returns the number of bytes that Append appends.
func (m *Message) EncodedLen() int { panic("codec") }

// Append appends the encoding of m to b and returns the extended slice.
func (m *Message) Append(b []byte) []byte { panic("codec") }

// Unmarshal sets m to what b encodes. Entries[i].Data and strings alias or copy as documented.
func (m *Message) Unmarshal(b []byte) error { panic("codec") }

func (e *Entry) EncodedLen() int          { panic("codec") }
func (e *Entry) Append(b []byte) []byte   { panic("codec") }
func (e *Entry) Unmarshal(b []byte) error { panic("codec") }

func (h *HardState) EncodedLen() int          { panic("codec") }
func (h *HardState) Append(b []byte) []byte   { panic("codec") }
func (h *HardState) Unmarshal(b []byte) error { panic("codec") }

func (m *Membership) EncodedLen() int          { panic("codec") }
func (m *Membership) Append(b []byte) []byte   { panic("codec") }
func (m *Membership) Unmarshal(b []byte) error { panic("codec") }

func (s *Snapshot) EncodedLen() int          { panic("codec") }
func (s *Snapshot) Append(b []byte) []byte   { panic("codec") }
func (s *Snapshot) Unmarshal(b []byte) error { panic("codec") }
