package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/loadgen/limits"
	"github.com/millrace/millrace/results"
)

// ReportCommand returns `millrace report`.
func ReportCommand() *cobra.Command {
	var out, benchmarks string
	c := &cobra.Command{
		Use:   "report DIR|FILE…",
		Short: "Draw results as one HTML page, or make BENCHMARKS.md from them",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if benchmarks != "" {
				return writeBenchmarks(benchmarks, args...)
			}
			all, err := results.ReadAll(args...)
			if err != nil {
				return err
			}
			if out == "" {
				out = filepath.Join(args[0], "report.html")
				if info, err := os.Stat(args[0]); err != nil || !info.IsDir() {
					out = "report.html"
				}
			}
			if err := writeReport(out, all); err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), out)
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "", "the page (default: report.html in the folder)")
	c.Flags().StringVar(&benchmarks, "benchmarks", "", "make this file from the results of bench peers and bench limits instead")
	return c
}

// writeBenchmarks makes BENCHMARKS.md from result files and folders.
func writeBenchmarks(path string, from ...string) error {
	all, err := results.ReadAll(from...)
	if err != nil {
		return err
	}
	table, err := limits.Limits()
	if err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write benchmarks: %w", err)
	}
	return errors.Join(results.Benchmarks(file, all, table), file.Close())
}
