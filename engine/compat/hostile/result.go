package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// A result is what one kind of peers has cost. Memory is in MiB, times are in milliseconds.
type result struct {
	Peers       string   `json:"peers"`
	What        string   `json:"what"`
	Connections int      `json:"connections"`
	Before      float64  `json:"rss_before_mib"`
	Most        float64  `json:"rss_most_mib"`
	More        float64  `json:"rss_more_mib"`
	Limit       float64  `json:"rss_more_limit_mib"`
	Kernel      float64  `json:"kernel_tcp_more_mib"`
	P99Before   float64  `json:"p99_before_ms"`
	P99         float64  `json:"p99_meanwhile_ms"`
	Worst       float64  `json:"worst_meanwhile_ms"`
	Wrong       []string `json:"over_limits"`
	slow        bool     // is among what is wrong
}

// Of the honest client's p99: what a run that shares its machine with others fails at, and what -strict does.
const (
	shareTimes, shareMillis   = 10, 250
	strictTimes, strictMillis = 2, 1 // below a millisecond, twice as long is noise
)

// judge compares with the limits.
func (r *result) judge(strict bool) {
	r.Wrong = []string{}
	if r.More > r.Limit {
		r.Wrong = append(r.Wrong, fmt.Sprintf("over %.0f MiB", r.Limit))
	}
	slowest := max(shareTimes*r.P99Before, shareMillis)
	if strict {
		slowest = max(strictTimes*r.P99Before, strictMillis)
	}
	if r.slow = r.P99 > slowest && r.Peers != control; r.slow {
		r.Wrong = append(r.Wrong, fmt.Sprintf("p99 over %.1f ms", slowest))
	}
}

func (r *result) verdict() string {
	if len(r.Wrong) == 0 {
		return "ok"
	}
	return strings.Join(r.Wrong, ", ")
}

var header = []string{"peers", "connections", "RSS before", "at most", "more", "allowed", "kernel's TCP", "p99 before", "p99 meanwhile", "worst", "verdict"}

func (r *result) cells() []string {
	memory := func(v float64) string { return fmt.Sprintf("%.1f MiB", v) }
	wait := func(v float64) string { return fmt.Sprintf("%.2f ms", v) }
	return []string{r.Peers, fmt.Sprint(r.Connections), memory(r.Before), memory(r.Most), memory(r.More), fmt.Sprintf("%.0f MiB", r.Limit), memory(r.Kernel),
		wait(r.P99Before), wait(r.P99), wait(r.Worst), r.verdict()}
}

// formats are the forms that the table can have.
var formats = map[string]func(io.Writer, []result) error{"text": text, "markdown": markdown, "json": asJSON}

func text(w io.Writer, results []result) error {
	rows := [][]string{header}
	for i := range results {
		rows = append(rows, results[i].cells())
	}
	widths := make([]int, len(header))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			width := widths[i]
			if i == 0 || i == len(row)-1 {
				width = -width // text to the left, figures to the right
			}
			fmt.Fprintf(&line, "%*s  ", width, cell)
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(line.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

func markdown(w io.Writer, results []result) error {
	fmt.Fprintf(w, "| %s |\n|---|%s---|\n", strings.Join(header, " | "), strings.Repeat("---:|", len(header)-2))
	for i := range results {
		if _, err := fmt.Fprintf(w, "| %s |\n", strings.Join(results[i].cells(), " | ")); err != nil {
			return err
		}
	}
	fmt.Fprintln(w)
	for _, r := range results {
		if _, err := fmt.Fprintf(w, "- **%s**: %s\n", r.Peers, r.What); err != nil {
			return err
		}
	}
	return nil
}

func asJSON(w io.Writer, results []result) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(results)
}
