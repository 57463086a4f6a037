// Package table prints tables as Kafka's newer tools do: columns as wide as their widest
// cell, a tab behind each. The older tools, kafka-consumer-groups among them, have a form
// of their own for each table.
package table

import (
	"fmt"
	"io"
	"unicode/utf8"
)

// Print writes the head and the rows. Every row has as many cells as the head.
func Print(w io.Writer, head []string, rows [][]string) {
	widths := make([]int, len(head))
	for _, row := range append([][]string{head}, rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range append([][]string{head}, rows...) {
		for i, cell := range row {
			fmt.Fprintf(w, "%-*s\t", widths[i], cell)
		}
		fmt.Fprintln(w)
	}
}
