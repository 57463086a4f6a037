package loadgen

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/millrace/millrace/results"
)

// Override changes one key of the workload, or of every phase that the key can concern,
// as if it stood in the file. Check when all are changed.
func (w *Workload) Override(key, value string) error {
	tree, err := parser.ParseBytes([]byte(key+": "+value), 0)
	if err != nil || len(tree.Docs) != 1 {
		return fmt.Errorf("%s=%s: not a key and its value", key, value)
	}
	pair, ok := tree.Docs[0].Body.(*ast.MappingValueNode)
	if !ok {
		if m, isMap := tree.Docs[0].Body.(*ast.MappingNode); isMap && len(m.Values) == 1 {
			pair = m.Values[0]
		} else {
			return fmt.Errorf("%s=%s: not a key and its value", key, value)
		}
	}
	p := &parsing{file: "option"}
	known := take(p, workloadFields, w, key, pair.Value)
	for i := range w.Phases {
		phase := &w.Phases[i]
		if concerns(key, value, phase) && take(p, settingFields, &phase.Settings, key, pair.Value) {
			known = true
		}
	}
	if !known {
		p.found = append(p.found, fmt.Errorf("unknown key %q%s", key, nearest(key, slices.Concat(names(workloadFields), names(settingFields)))))
	}
	if err := errors.Join(p.found...); err != nil {
		return err
	}
	w.source["overrides"] = append(w.overrides(), key+"="+value)
	return nil
}

// OverrideAll changes keys, each given as key=value, and checks the outcome.
func (w *Workload) OverrideAll(all []string) error {
	for _, one := range all {
		key, value, ok := strings.Cut(one, "=")
		if !ok {
			return fmt.Errorf("%q needs key=value", one)
		}
		if err := w.Override(key, value); err != nil {
			return err
		}
	}
	return w.Check()
}

func (w *Workload) overrides() []string {
	already, _ := w.source["overrides"].([]string)
	return already
}

// concerns keeps a rate away from phases that cannot have one.
func concerns(key, value string, p *Phase) bool {
	switch {
	case key == "ramp":
		return p.Do != results.Consume && p.Rate > 0
	case key == "rate" && value == "max":
		return p.Do == results.Produce
	case key == "rate":
		return p.Do != results.Consume
	default:
		return true
	}
}

// Keep leaves only the phases of these names. None at all keeps every phase.
func (w *Workload) Keep(phases []string) error {
	if len(phases) == 0 {
		return nil
	}
	var kept []Phase
	var have []string
	for _, p := range w.Phases {
		have = append(have, p.Name)
		if slices.Contains(phases, p.Name) {
			kept = append(kept, p)
		}
	}
	if len(kept) < len(phases) {
		return fmt.Errorf("workload %s has the phases %s", w.Name, strings.Join(have, ", "))
	}
	w.Phases = kept
	w.Objectives = slices.DeleteFunc(w.Objectives, func(o Objective) bool { return !slices.Contains(phases, o.phase) })
	return nil
}

// Check reports settings that do not go together, after overrides.
func (w *Workload) Check() error {
	var found []error
	for i := range w.Phases {
		for _, complaint := range w.Phases[i].complaints(int(w.Partitions)) {
			found = append(found, fmt.Errorf("phase %q: %s", w.Phases[i].Name, complaint))
		}
	}
	return errors.Join(found...)
}
