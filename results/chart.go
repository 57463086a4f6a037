package results

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// chart draws lines over two axes as SVG. Colours come from the page's style sheet
// (classes s0, s1, …), so that a page can be dark.
type chart struct {
	Title string
	X, Y  axis
	Lines []line
	Bands []band
}

// line is one series of points in the order of x. Lines of one name share their colour
// and are named once.
type line struct {
	Name   string
	Points []point
}

type point struct{ X, Y float64 }

// band shades a range of x, as for the warm-up.
type band struct {
	From, To float64
	Name     string
}

// axis maps values to 0…1 and says which of them get a tick.
type axis struct {
	Low, High float64
	Log       bool
	Ticks     []tick
	Label     string
}

type tick struct {
	At   float64
	Text string
}

func (a axis) place(v float64) float64 {
	low, high := a.Low, a.High
	if a.Log {
		v, low, high = math.Log10(max(v, a.Low)), math.Log10(low), math.Log10(high)
	}
	if high == low {
		return 0
	}
	return min(max((v-low)/(high-low), 0), 1)
}

// Sizes of a chart in SVG units.
const (
	chartWidth   = 500
	chartHeight  = 280
	marginLeft   = 62
	marginRight  = 30 // half of the longest percentile has room beside the last tick
	marginTop    = 46
	marginBottom = 40
)

func (c chart) x(v float64) float64 {
	return marginLeft + c.X.place(v)*(chartWidth-marginLeft-marginRight)
}

func (c chart) y(v float64) float64 {
	return chartHeight - marginBottom - c.Y.place(v)*(chartHeight-marginTop-marginBottom)
}

// SVG draws the chart.
func (c chart) SVG() string {
	var out strings.Builder
	fmt.Fprintf(&out, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, chartWidth, chartHeight, html.EscapeString(c.Title))
	fmt.Fprintf(&out, `<text class="title" x="%d" y="18">%s</text>`, marginLeft, html.EscapeString(c.Title))
	c.bands(&out)
	c.axes(&out)
	c.legend(&out)
	names := c.names()
	for _, l := range c.Lines {
		if len(l.Points) == 0 {
			continue
		}
		var path strings.Builder
		for j, p := range l.Points {
			verb := "L"
			if j == 0 {
				verb = "M"
			}
			fmt.Fprintf(&path, "%s%.1f %.1f", verb, c.x(p.X), c.y(p.Y))
		}
		fmt.Fprintf(&out, `<path class="line s%d" d="%s"><title>%s</title></path>`, slices.Index(names, l.Name)%palette, path.String(), html.EscapeString(l.Name))
	}
	out.WriteString("</svg>")
	return out.String()
}

// palette is how many colours the style sheet has.
const palette = 8

func (c chart) bands(out *strings.Builder) {
	for _, b := range c.Bands {
		from, to := c.x(b.From), c.x(b.To)
		fmt.Fprintf(out, `<rect class="band" x="%.1f" y="%d" width="%.1f" height="%d"/>`, from, marginTop, to-from, chartHeight-marginTop-marginBottom)
		if to-from > 60 {
			fmt.Fprintf(out, `<text class="bandname" x="%.1f" y="%d">%s</text>`, from+5, chartHeight-marginBottom-6, html.EscapeString(b.Name))
		}
	}
}

func (c chart) axes(out *strings.Builder) {
	right, bottom := chartWidth-marginRight, chartHeight-marginBottom
	for _, t := range c.Y.Ticks {
		y := c.y(t.At)
		fmt.Fprintf(out, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`, marginLeft, right, y, y)
		fmt.Fprintf(out, `<text class="tick" text-anchor="end" x="%d" y="%.1f">%s</text>`, marginLeft-8, y+4, html.EscapeString(t.Text))
	}
	for _, t := range c.X.Ticks {
		x := c.x(t.At)
		fmt.Fprintf(out, `<line class="grid" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`, x, x, marginTop, bottom)
		fmt.Fprintf(out, `<text class="tick" text-anchor="middle" x="%.1f" y="%d">%s</text>`, x, bottom+16, html.EscapeString(t.Text))
	}
	fmt.Fprintf(out, `<line class="axis" x1="%d" x2="%d" y1="%d" y2="%d"/>`, marginLeft, right, bottom, bottom)
	fmt.Fprintf(out, `<text class="label" text-anchor="end" x="%d" y="%d">%s</text>`, right, chartHeight-6, html.EscapeString(c.X.Label))
	fmt.Fprintf(out, `<text class="label" text-anchor="end" x="%d" y="%d">%s</text>`, marginLeft-8, 18, html.EscapeString(c.Y.Label))
}

// names are those of the lines, each once, in the order of their colours.
func (c chart) names() []string {
	var names []string
	for _, l := range c.Lines {
		if !slices.Contains(names, l.Name) {
			names = append(names, l.Name)
		}
	}
	return names
}

// legend names the lines in one row under the title, as far as they fit.
func (c chart) legend(out *strings.Builder) {
	x := float64(marginLeft)
	names := c.names()
	for i, name := range names {
		width := 34 + 6.6*float64(len([]rune(name)))
		if x+width > chartWidth-marginRight && i > 0 {
			fmt.Fprintf(out, `<text class="tick" x="%.1f" y="36">+%d</text>`, x, len(names)-i)
			return
		}
		fmt.Fprintf(out, `<line class="line s%d" x1="%.1f" x2="%.1f" y1="32" y2="32"/>`, i%palette, x, x+14)
		fmt.Fprintf(out, `<text class="tick" x="%.1f" y="36">%s</text>`, x+19, html.EscapeString(name))
		x += width
	}
}

// percentileAxis spreads the tail: every nine more takes the same room.
func percentileAxis(count int64) axis {
	nines := math.Max(2, math.Ceil(math.Log10(float64(max(count, 2)))*2)/2)
	a := axis{Low: 0, High: nines, Label: "percentile"}
	for i, name := range []string{"0", "90", "99", "99.9", "99.99", "99.999", "99.9999", "99.99999"} {
		if float64(i) <= nines {
			a.Ticks = append(a.Ticks, tick{float64(i), name})
		}
		if i == 0 {
			a.Ticks = append(a.Ticks, tick{nineOf(50), "50"})
		}
	}
	return a
}

// nineOf is where a percentile stands on a percentile axis: how many nines it has.
func nineOf(percentile float64) float64 { return -math.Log10(1 - percentile/100) }

// percentileOf is the inverse of nineOf.
func percentileOf(nines float64) float64 { return 100 * (1 - math.Pow(10, -nines)) }

// latencyAxis is logarithmic, in microseconds, from the decade of the least to that of
// the largest value.
func latencyAxis(low, high float64) axis {
	if low > high {
		low, high = 100, 10_000 // there are no values at all
	}
	first, last := math.Floor(math.Log10(max(low, 1))), math.Ceil(math.Log10(max(high, 10)))
	if last <= first {
		last = first + 1
	}
	a := axis{Low: math.Pow(10, first), High: math.Pow(10, last), Log: true, Label: "latency"}
	for e := first; e <= last; e++ {
		a.Ticks = append(a.Ticks, tick{math.Pow(10, e), Micros(math.Pow(10, e))})
	}
	if last-first <= 2 {
		for e := first; e < last; e++ {
			for _, step := range []float64{2, 5} {
				a.Ticks = append(a.Ticks, tick{step * math.Pow(10, e), Micros(step * math.Pow(10, e))})
			}
		}
	}
	return a
}

// linearAxis goes from 0 to a round number above high.
func linearAxis(high float64, label string, format func(float64) string) axis {
	step := roundStep(max(high, 1e-9) / 4)
	top := math.Ceil(high/step*1.0001) * step
	a := axis{Low: 0, High: max(top, step), Label: label}
	for v := 0.0; v <= a.High*1.0001; v += step {
		a.Ticks = append(a.Ticks, tick{v, format(v)})
	}
	return a
}

// timeAxis counts the seconds of a phase.
func timeAxis(seconds float64) axis {
	step := max(1, roundStep(seconds/6))
	a := axis{Low: 0, High: max(seconds, 1), Label: "seconds"}
	for v := 0.0; v <= a.High; v += step {
		a.Ticks = append(a.Ticks, tick{v, fmt.Sprintf("%g", v)})
	}
	return a
}

// roundStep is the 1, 2 or 5 of some decade next above v.
func roundStep(v float64) float64 {
	decade := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*decade >= v {
			return m * decade
		}
	}
	return 10 * decade
}

// Micros prints a time given in microseconds with the unit that fits.
func Micros(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case v >= 1e6:
		return fmt.Sprintf("%.3g s", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%.3g ms", v/1e3)
	default:
		return fmt.Sprintf("%.3g µs", v)
	}
}
