package limits

import (
	"fmt"
	"slices"
)

// planned is a row and those of its sides that are to be measured.
type planned struct {
	Row
	sides []Side
}

// plan picks the rows of these numbers, none for all, and of other rows the sides that
// they read. Rows that Kafka takes part in come first, so that it is gone when the others
// are measured.
func plan(rows []Row, numbers []int) ([]planned, error) {
	wanted := map[int]map[string]bool{}
	want := func(row int, side string) {
		if wanted[row] == nil {
			wanted[row] = map[string]bool{}
		}
		wanted[row][side] = true
	}
	for _, n := range numbers {
		if !slices.ContainsFunc(rows, func(r Row) bool { return r.Number == n }) {
			return nil, fmt.Errorf("there is no row %d: rows are 1 to %d", n, rows[len(rows)-1].Number)
		}
	}
	for _, r := range rows {
		if len(numbers) > 0 && !slices.Contains(numbers, r.Number) {
			continue
		}
		for _, s := range r.Sides {
			want(r.Number, s.Name)
		}
		for _, c := range r.Checks {
			if c.Row != 0 {
				want(c.Row, c.Side)
			}
		}
	}
	var all []planned
	for _, r := range rows {
		p := planned{Row: r}
		for _, s := range r.Sides {
			if wanted[r.Number][s.Name] {
				p.sides = append(p.sides, s)
			}
		}
		if len(p.sides) > 0 {
			all = append(all, p)
		}
	}
	slices.SortStableFunc(all, func(a, b planned) int {
		switch {
		case a.needsKafka() == b.needsKafka():
			return 0
		case a.needsKafka():
			return -1
		default:
			return 1
		}
	})
	return all, nil
}

func (p planned) needsKafka() bool {
	return slices.ContainsFunc(p.sides, func(s Side) bool { return s.Broker == kafka })
}

// needsJars reports whether a side runs something of Kafka's: the broker or its producer.
func (p planned) needsJars() bool {
	return p.needsKafka() || slices.ContainsFunc(p.sides, func(s Side) bool { return s.Client == clientJava })
}

// NeedKafka reports whether any of the rows of these numbers, none for all, is measured
// on Kafka too, or with its producer.
func NeedKafka(numbers []int) (bool, error) {
	rows, err := Rows()
	if err != nil {
		return false, err
	}
	all, err := plan(rows, numbers)
	return slices.ContainsFunc(all, planned.needsJars), err
}
