package setting

import (
	"math/rand/v2"
	"testing"
)

// plainDistance is distance without a limit, and without its tricks.
func plainDistance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		for j := range rows[i] {
			switch {
			case i == 0 || j == 0:
				rows[i][j] = i + j
				continue
			case a[i-1] == b[j-1]:
				rows[i][j] = rows[i-1][j-1]
			default:
				rows[i][j] = rows[i-1][j-1] + 1
			}
			rows[i][j] = min(rows[i][j], rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// The distance is the same as without a limit, as far as that goes, whatever was counted before.
func TestDistance(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	word := func() string {
		text := make([]byte, random.IntN(14))
		for i := range text {
			text[i] = "abc"[random.IntN(3)]
		}
		return string(text)
	}
	var e edits
	for range 30_000 {
		a, b, limit := word(), word(), 1+random.IntN(12)
		if got, want := e.distance(a, b, limit), min(plainDistance(a, b), limit); got != want {
			t.Fatalf("%q and %q are %d apart, want %d (limit %d)", a, b, got, want, limit)
		}
	}
}
