package cluster

import (
	"fmt"
	"html"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// plot draws latency over throughput, a line for each contender over its numbers
// of clients, into a file of its own.
func plot(dir string, s section, workloads []workload, measured map[workload][]*result) error {
	kind := workloads[0].kind()
	name := filepath.Join(dir, fileName(strings.ToLower(s.title()+", "+kind))+".svg")
	return os.WriteFile(name, []byte(draw(title(s.title())+": "+kind, curves(workloads, measured))), 0o644)
}

// curve is what one contender reaches.
type curve struct {
	name   string
	points []point
}

type point struct {
	clients  int
	rate     float64
	p50, p99 time.Duration
}

// curves leaves out the floor, which has one client only.
func curves(workloads []workload, measured map[workload][]*result) (curves []curve) {
	at := map[string]int{}
	for _, w := range workloads {
		for _, r := range best(w, measured[w]) {
			if r.name == Floor {
				continue
			}
			i, known := at[r.name]
			if !known {
				i = len(curves)
				at[r.name], curves = i, append(curves, curve{name: r.name})
			}
			curves[i].points = append(curves[i].points, point{
				clients: w.clients, rate: r.of(sample.rate),
				p50: r.duration(func(s sample) time.Duration { return s.P50 }),
				p99: r.duration(func(s sample) time.Duration { return s.P99 }),
			})
		}
	}
	return curves
}

// Measures of the drawing, in pixels.
const (
	panelWidth, panelHeight = 430, 380
	left, top, gap          = 70, 60, 80
	bottom                  = 90
)

// colors are told apart by those who see no red or green, too.
var colors = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"}

// draw draws two panels, p50 and p99, with the same axes.
func draw(title string, curves []curve) string {
	var rates, latencies []float64
	for _, c := range curves {
		for _, p := range c.points {
			rates = append(rates, p.rate)
			latencies = append(latencies, float64(p.p50), float64(p.p99))
		}
	}
	x, y := newAxis(rates, panelWidth), newAxis(latencies, panelHeight)
	width, height := left+2*panelWidth+gap+30, top+panelHeight+bottom
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	text(&b, float64(width)/2, 24, "middle", `font-size="16"`, title)
	drawPanel(&b, left, "p50", x, y, curves, func(p point) time.Duration { return p.p50 })
	drawPanel(&b, left+panelWidth+gap, "p99", x, y, curves, func(p point) time.Duration { return p.p99 })
	for i, c := range curves {
		at := float64(left + i*(2*panelWidth+gap)/len(curves))
		fmt.Fprintf(&b, `<line x1="%.0f" y1="%d" x2="%.0f" y2="%d" stroke="%s" stroke-width="2"/>`+"\n", at, height-20, at+24, height-20, colors[i%len(colors)])
		text(&b, at+30, float64(height-16), "start", "", c.name)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func drawPanel(b *strings.Builder, offset int, name string, x, y axis, curves []curve, latency func(point) time.Duration) {
	across := func(v float64) float64 { return float64(offset) + x.at(v) }
	down := func(v float64) float64 { return top + panelHeight - y.at(v) }
	text(b, float64(offset)+panelWidth/2, top-10, "middle", `font-weight="bold"`, name)
	for _, v := range x.ticks() {
		fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#ddd"/>`+"\n", across(v), top, across(v), top+panelHeight)
		text(b, across(v), top+panelHeight+16, "middle", "", count(v))
	}
	for _, v := range y.ticks() {
		fmt.Fprintf(b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/>`+"\n", offset, down(v), offset+panelWidth, down(v))
		text(b, float64(offset)-6, down(v)+4, "end", "", time.Duration(math.Round(v)).String())
	}
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%d" height="%d" fill="none" stroke="black"/>`+"\n", offset, top, panelWidth, panelHeight)
	text(b, float64(offset)+panelWidth/2, top+panelHeight+36, "middle", "", "operations per second; a point's number is that of clients")
	for i, c := range curves {
		color := colors[i%len(colors)]
		var points []string
		for _, p := range c.points {
			points = append(points, fmt.Sprintf("%.1f,%.1f", across(p.rate), down(float64(latency(p)))))
		}
		fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(points, " "), color)
		for _, p := range c.points {
			cx, cy := across(p.rate), down(float64(latency(p)))
			fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"/>`+"\n", cx, cy, color)
			text(b, cx+5, cy+13, "start", fmt.Sprintf(`font-size="9" fill="%s"`, color), fmt.Sprint(p.clients))
		}
	}
}

// text writes a text; attributes are more of them.
func text(b *strings.Builder, x, y float64, anchor, attributes, s string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s" %s>%s</text>`+"\n", x, y, anchor, attributes, html.EscapeString(s))
}

// axis is logarithmic.
type axis struct{ least, most, length float64 }

// newAxis has room for all values, which are positive.
func newAxis(values []float64, length float64) axis {
	a := axis{least: math.Inf(1), most: 0, length: length}
	for _, v := range values {
		a.least, a.most = min(a.least, v), max(a.most, v)
	}
	if a.most == 0 {
		a.least, a.most = 1, 10
	}
	a.least, a.most = a.least/1.5, a.most*1.5
	return a
}

// at returns how far along the axis a value is.
func (a axis) at(v float64) float64 {
	return a.length * math.Log(v/a.least) / math.Log(a.most/a.least)
}

// ticks are at 1, 2 and 5 of each power of ten.
func (a axis) ticks() (ticks []float64) {
	for power := math.Pow(10, math.Floor(math.Log10(a.least))); power <= a.most; power *= 10 {
		for _, digit := range []float64{1, 2, 5} {
			if v := digit * power; v >= a.least && v <= a.most {
				ticks = append(ticks, v)
			}
		}
	}
	return ticks
}

// count writes a round number shortly.
func count(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%gM", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%gk", v/1e3)
	}
	return fmt.Sprintf("%g", v)
}
