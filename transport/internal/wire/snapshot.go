package wire

import "unicode/utf8"

// maxReasonBytes bounds the text of a Result and of a KindAbort.
const maxReasonBytes = 1024

// Result is how the receiver of a snapshot ends the conversation.
type Result struct {
	Accepted bool
	Busy     bool   // not accepted: too many snapshots at once, try again later
	Reason   string // why not, at most 1 KiB; longer ones are cut
}

// Codes of a Result on the wire.
const (
	resultAccepted = 0
	resultRefused  = 1
	resultBusy     = 2
)

// AppendResult appends r in a frame: a code and the reason as text.
func AppendResult(b []byte, r Result) []byte {
	code := byte(resultRefused)
	switch {
	case r.Accepted:
		code = resultAccepted
	case r.Busy:
		code = resultBusy
	}
	start := len(b)
	b = append(Begin(b), code)
	b = append(b, cutText(r.Reason)...)
	Finish(b, start, KindResult)
	return b
}

// ParseResult returns the Result in a KindResult's payload.
func ParseResult(payload []byte) (Result, error) {
	if len(payload) == 0 {
		return Result{}, &FrameError{"an empty result"}
	}
	return Result{
		Accepted: payload[0] == resultAccepted,
		Busy:     payload[0] == resultBusy,
		Reason:   Text(payload[1:]),
	}, nil
}

// AppendAbort appends a KindAbort.
func AppendAbort(b []byte, reason string) []byte {
	return AppendFrame(b, KindAbort, []byte(cutText(reason)))
}

// Text returns text that came from a peer, cut to its bound.
func Text(b []byte) string { return cutText(string(b)) }

// cutText cuts s to its bound, between two characters.
func cutText(s string) string {
	if len(s) <= maxReasonBytes {
		return s
	}
	n := maxReasonBytes
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
