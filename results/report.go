package results

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"
)

//go:embed report.html
var reportFile embed.FS

var reportPage = template.Must(template.New("report.html").Funcs(template.FuncMap{
	"figure": Figure, "micros": Micros, "seconds": func(v float64) string { return Figure(v) + " s" },
	"bytes": byteSize, "inUnit": InUnit, "known": func(v *float64) bool { return v != nil }, "value": func(v *float64) float64 { return *v },
	"primary": func(p Phase) string { return p.Primary() },
}).ParseFS(reportFile, "report.html"))

// page is what report.html shows.
type page struct {
	Title   string
	Results []*Result
	Single  *Result
	Phases  []phaseView
	Groups  []groupView
	Data    template.JS
}

// phaseView is one phase of a single result.
type phaseView struct {
	Phase
	Charts []template.HTML
}

// groupView is one phase of many results, drawn over each other.
type groupView struct {
	Name   string
	Charts []template.HTML
}

// Report writes one self-contained HTML page: for a single result every phase in detail,
// for several one table and their curves over each other. The results are embedded as
// JSON, so that the page can be read by a program too.
func Report(w io.Writer, all []*Result) error {
	if len(all) == 0 {
		return fmt.Errorf("write report: there are no results")
	}
	data, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	// "<" inside a JSON string must not end the script element.
	p := page{Title: "Millrace bench", Results: all, Data: template.JS(strings.ReplaceAll(string(data), "<", `\u003c`))}
	if len(all) == 1 {
		p.Single = all[0]
		p.Title = all[0].Suite + " · " + all[0].System
		for _, phase := range all[0].Phases {
			charts, err := phaseCharts(&phase)
			if err != nil {
				return fmt.Errorf("write report: phase %s: %w", phase.Name, err)
			}
			p.Phases = append(p.Phases, phaseView{phase, charts})
		}
	} else if p.Groups, err = groups(all); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := reportPage.Execute(w, p); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// drawn are the latencies that get a curve, in the order of their colours.
var drawn = []string{E2E, Response, Service, Fetch}

func phaseCharts(p *Phase) ([]template.HTML, error) {
	var charts []template.HTML
	if all := namedLatencies(p); len(all) > 0 {
		curves, err := percentileChart("Latency by percentile", all)
		if err != nil {
			return nil, err
		}
		charts = append(charts, template.HTML(curves.SVG()))
	}
	if len(p.Series) > 1 {
		charts = append(charts, template.HTML(timeChart(p).SVG()), template.HTML(rateChart(p).SVG()))
	}
	return charts, nil
}

type named struct {
	name    string
	latency Latency
}

func namedLatencies(p *Phase) []named {
	var all []named
	for _, name := range drawn {
		if l, ok := p.Latency[name]; ok {
			all = append(all, named{name, l})
		}
	}
	return all
}

// percentileChart draws whole distributions.
func percentileChart(title string, all []named) (chart, error) {
	c := chart{Title: title}
	low, high, count := math.Inf(1), 0.0, int64(0)
	for _, n := range all {
		h, err := n.latency.Histogram()
		if err != nil {
			return c, err
		}
		l := line{Name: n.name, Points: curve(h)}
		for _, p := range l.Points {
			low, high = min(low, p.Y), max(high, p.Y)
		}
		count = max(count, h.TotalCount())
		c.Lines = append(c.Lines, l)
	}
	c.X, c.Y = percentileAxis(count), latencyAxis(low, high)
	return c, nil
}

// curve samples a distribution evenly along a percentile axis, up to its last value.
func curve(h *hdrhistogram.Histogram) []point {
	const steps = 120
	nines := math.Max(0.5, math.Log10(float64(max(h.TotalCount(), 2))))
	var points []point
	for i := range steps + 1 {
		x := nines * float64(i) / steps
		points = append(points, point{x, max(1, micros(h.ValueAtPercentile(percentileOf(x))))})
	}
	return append(points, point{nines, max(1, micros(h.Max()))})
}

func timeChart(p *Phase) chart {
	c := chart{Title: "Latency over time (" + p.Primary() + ")", Bands: warmup(p)}
	lines := []line{{Name: "max"}, {Name: "p99"}, {Name: "p50"}}
	low, high := math.Inf(1), 0.0
	for _, s := range p.Series {
		if s.Max == 0 {
			continue
		}
		for i, v := range []float64{s.Max, s.P99, s.P50} {
			lines[i].Points = append(lines[i].Points, point{s.T, max(v, 1)})
			low, high = min(low, max(v, 1)), max(high, v)
		}
	}
	c.Lines, c.X, c.Y = lines, timeAxis(end(p)), latencyAxis(low, high)
	return c
}

func rateChart(p *Phase) chart {
	c := chart{Title: "Throughput, records/s", Bands: warmup(p), X: timeAxis(end(p))}
	high := p.IntendedRate
	rate := line{Name: "measured"}
	for _, s := range p.Series {
		rate.Points = append(rate.Points, point{s.T, s.Rate})
		high = max(high, s.Rate)
	}
	c.Lines = []line{rate}
	if p.IntendedRate > 0 {
		c.Lines = append(c.Lines, line{Name: "intended", Points: []point{{0, p.IntendedRate}, {end(p), p.IntendedRate}}})
	}
	c.Y = linearAxis(high, "", shortFigure)
	return c
}

// shortFigure is a number without digits that do not matter on an axis.
func shortFigure(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%g M", math.Round(v/1e4)/100)
	case v >= 1e3:
		return fmt.Sprintf("%g k", math.Round(v/10)/100)
	default:
		return fmt.Sprintf("%g", v)
	}
}

func end(p *Phase) float64 { return p.Series[len(p.Series)-1].T }

func warmup(p *Phase) []band {
	if p.WarmupSeconds == 0 {
		return nil
	}
	return []band{{0, p.WarmupSeconds, "warm-up"}}
}

// groups overlays the primary latency of every phase of runs with the same labels, one
// colour for each system.
func groups(all []*Result) ([]groupView, error) {
	var views []groupView
	for _, same := range byLabels(all) {
		view := groupView{Name: same[0].label()}
		for _, name := range phaseNames(same) {
			var latencies []named
			for _, r := range same {
				if p := r.Phase(name); p != nil {
					if l, ok := p.Latency[p.Primary()]; ok {
						latencies = append(latencies, named{r.System, l})
					}
				}
			}
			if len(latencies) == 0 {
				continue
			}
			c, err := percentileChart(name, latencies)
			if err != nil {
				return nil, err
			}
			view.Charts = append(view.Charts, template.HTML(c.SVG()))
		}
		views = append(views, view)
	}
	return views, nil
}

func byLabels(all []*Result) [][]*Result {
	var order []string
	same := map[string][]*Result{}
	for _, r := range all {
		label := r.label()
		if same[label] == nil {
			order = append(order, label)
		}
		same[label] = append(same[label], r)
	}
	var out [][]*Result
	for _, label := range order {
		out = append(out, same[label])
	}
	return out
}

// label is what runs that may be drawn over each other have in common.
func (r *Result) label() string {
	parts := []string{r.Suite}
	for _, key := range slices.Sorted(maps.Keys(r.Labels)) {
		parts = append(parts, key+" "+r.Labels[key])
	}
	return strings.Join(parts, ", ")
}

func byteSize(n int64) string {
	switch v := float64(n); {
	case v >= 1<<30:
		return fmt.Sprintf("%.2f GiB", v/(1<<30))
	case v >= 1<<20:
		return fmt.Sprintf("%.0f MiB", v/(1<<20))
	default:
		return fmt.Sprintf("%.0f KiB", v/(1<<10))
	}
}
