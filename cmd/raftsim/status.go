package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// statusLine shows what changes while a command works.
type statusLine struct {
	out      io.Writer
	live     bool
	interval time.Duration
}

func newStatusLine(out io.Writer) *statusLine {
	l := &statusLine{out: out, interval: 15 * time.Second}
	if file, ok := out.(*os.File); ok {
		if info, err := file.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			l.live, l.interval = true, time.Second
		}
	}
	return l
}

const clearLine = "\r\033[K"

func (l *statusLine) show(text string) {
	if l.live {
		fmt.Fprint(l.out, clearLine, text)
	} else {
		fmt.Fprintln(l.out, text)
	}
}

// clear makes room for what stays.
func (l *statusLine) clear() {
	if l.live {
		fmt.Fprint(l.out, clearLine)
	}
}
