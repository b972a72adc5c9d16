package tape

import (
	"bytes"
	"fmt"
	"os"
)

// String returns the size of a recording: of its decisions those that are not
// mild are what makes the run special.
func (r *Recording) String() string {
	wild := 0
	for _, v := range r.Decisions {
		if v != 0 {
			wild++
		}
	}
	spans := 0
	if all := levels(&Recording{Spans: settled(r)}); len(all) > 0 {
		spans = len(all[0])
	}
	return fmt.Sprintf("%d decisions (%d not mild) in %d spans", len(r.Decisions), wild, spans)
}

// WriteFile writes f, as Encode does, to a new or replaced file.
func WriteFile(path string, f File) error {
	var b bytes.Buffer
	if err := Encode(&b, f); err != nil {
		return err
	}
	if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
		return fmt.Errorf("tape: %w", err)
	}
	return nil
}

// ReadFile reads what WriteFile has written.
func ReadFile(path string) (File, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return File{}, fmt.Errorf("tape: %w", err)
	}
	f, err := Decode(bytes.NewReader(text))
	if err != nil {
		return File{}, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}
