// Command tally reads `go test -json` and shows what a person needs: one line for each package, the whole
// output of a test that failed, and at the end how many tests passed and failed.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/millrace/millrace/engine/compat/totals"
)

func main() {
	counts := flag.String("counts", "", "append a line `passed failed` to this file")
	flag.Parse()
	t, err := totals.GoTest(os.Stdin, os.Stdout)
	fmt.Printf("tests: %v\n", t)
	if err == nil {
		err = totals.Append(*counts, t.Passed, t.Failed)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
		os.Exit(1)
	}
	if t.Failed > 0 {
		os.Exit(1)
	}
}
