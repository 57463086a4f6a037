// Command mutants breaks the broker's code in one place at a time, builds the simulator with it, and has it play
// seeds until it finds something. A mutant that is not found is a promise that the simulator does not look at.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	root := flag.String("root", ".", "the folder of the module")
	seeds := flag.Int("seeds", 1000, "how many seeds a mutant may survive")
	only := flag.String("only", "", "only mutants whose name has this in it")
	flag.Parse()
	missed, err := hunt(*root, *seeds, *only)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if missed > 0 {
		fmt.Printf("%d mutants were not found\n", missed)
		os.Exit(1)
	}
}

// hunt looks for all mutants, one after the other.
func hunt(root string, seeds int, only string) (missed int, err error) {
	folder, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return 0, fmt.Errorf("make a folder for builds: %w", err)
	}
	defer os.RemoveAll(folder) //nolint:errcheck // it is one for what may go at any time
	for i := range mutants {
		m := &mutants[i]
		if !strings.Contains(m.name, only) {
			continue
		}
		program, err := m.build(root, folder)
		if err != nil {
			return missed, fmt.Errorf("mutant %q: %w", m.name, err)
		}
		began := time.Now()
		out, err := exec.Command(program, "-seeds", fmt.Sprint(seeds), "-twice", "0", "-until-failure").CombinedOutput()
		words := first(string(out))
		if err == nil {
			missed++
			words = fmt.Sprintf("NOT FOUND in %d seeds", seeds)
		}
		fmt.Printf("%5.1f s  %-70s  %s\n", time.Since(began).Seconds(), m.name, words)
	}
	return missed, nil
}

// first is the line that says which seed has found it.
func first(out string) string {
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "FAIL") || strings.HasPrefix(line, "panic") || strings.HasPrefix(line, "fatal") {
			return strings.TrimSpace(line[:min(len(line), 160)])
		}
	}
	return "it ended without a word"
}

// edit is one place in the code.
type edit struct{ file, old, new string }

// mutant is a broker that breaks a promise.
type mutant struct {
	name  string
	edits []edit
}

// apply answers what the files become, by their names in the module.
func (m *mutant) apply(root string) (map[string]string, error) {
	files := map[string]string{}
	for _, e := range m.edits {
		text, known := files[e.file]
		if !known {
			raw, err := os.ReadFile(filepath.Join(root, e.file))
			if err != nil {
				return nil, fmt.Errorf("read what is to be broken: %w", err)
			}
			text = string(raw)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return nil, fmt.Errorf("%s has %d times what is to be replaced, not once; follow the code in mutants.go: %q", e.file, n, e.old)
		}
		files[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	return files, nil
}

// build makes the simulator with the mutant in it; the tree stays as it is.
func (m *mutant) build(root, folder string) (program string, err error) {
	files, err := m.apply(root)
	if err != nil {
		return "", err
	}
	absolute, err := filepath.Abs(root)
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for name, text := range files {
		at := filepath.Join(folder, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("write the mutant: %w", err)
		}
		overlay.Replace[filepath.Join(absolute, name)] = at
	}
	list, err := json.Marshal(overlay)
	if err != nil {
		return "", fmt.Errorf("write the overlay: %w", err)
	}
	at := filepath.Join(folder, "overlay.json")
	if err := os.WriteFile(at, list, 0o600); err != nil {
		return "", fmt.Errorf("write the overlay: %w", err)
	}
	program = filepath.Join(folder, "simulator")
	build := exec.Command("go", "build", "-overlay", at, "-o", program, "./engine/sim/run")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return program, nil
}
