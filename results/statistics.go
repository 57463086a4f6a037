package results

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Median returns the middle of values, NaN when there are none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return sortedMedian(sorted)
}

func sortedMedian(sorted []float64) float64 {
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// MannWhitney returns the two-sided p-value of the hypothesis that a and b are drawn
// from one distribution: the share of all ways to deal the pooled values to the two
// sides that are at least as lopsided as what was measured. Small samples, which is what
// benchmarks have, are counted exactly, ties included; beyond 20 values the normal
// approximation with its tie correction is used.
func MannWhitney(a, b []float64) float64 {
	if len(a) == 0 || len(b) == 0 {
		return 1
	}
	ranks := midranks(append(slices.Clone(a), b...))
	if len(ranks) <= 20 {
		return exactRankSum(ranks, len(a))
	}
	return normalRankSum(ranks, len(a))
}

// midranks returns the doubled rank of every value, ties sharing their mean: doubled so
// that it is whole.
func midranks(values []float64) []int {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		switch {
		case values[i] < values[j]:
			return -1
		case values[i] > values[j]:
			return 1
		default:
			return 0
		}
	})
	ranks := make([]int, len(values))
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && values[order[j]] == values[order[i]] {
			j++
		}
		for k := i; k < j; k++ {
			ranks[order[k]] = i + j + 1 // 2 × mean of the ranks i+1 … j
		}
		i = j
	}
	return ranks
}

// exactRankSum counts, for every possible rank sum of the first n values, in how many
// ways it comes about.
func exactRankSum(ranks []int, n int) float64 {
	total, observed := 0, 0
	for i, r := range ranks {
		total += r
		if i < n {
			observed += r
		}
	}
	ways := make([][]float64, n+1) // ways[k][s]: subsets of k values with rank sum s
	for k := range ways {
		ways[k] = make([]float64, total+1)
	}
	ways[0][0] = 1
	for _, r := range ranks {
		for k := n; k > 0; k-- {
			for s := total; s >= r; s-- {
				ways[k][s] += ways[k-1][s-r]
			}
		}
	}
	middle := float64(total) * float64(n) / float64(len(ranks))
	distance := math.Abs(float64(observed) - middle)
	var all, extreme float64
	for s, w := range ways[n] {
		all += w
		if math.Abs(float64(s)-middle) >= distance-1e-9 {
			extreme += w
		}
	}
	return extreme / all
}

func normalRankSum(ranks []int, n int) float64 {
	m := float64(len(ranks) - n)
	first, all := float64(n), float64(len(ranks))
	sum := 0.0
	for _, r := range ranks[:n] {
		sum += float64(r) / 2
	}
	u := sum - first*(first+1)/2
	counts := map[int]float64{}
	for _, r := range ranks {
		counts[r]++
	}
	ties := 0.0
	for _, t := range counts {
		ties += t*t*t - t
	}
	variance := first * m / 12 * (all + 1 - ties/(all*(all-1)))
	if variance <= 0 {
		return 1
	}
	z := (math.Abs(u-first*m/2) - 0.5) / math.Sqrt(variance)
	return math.Min(1, math.Erfc(max(z, 0)/math.Sqrt2))
}

// Interval is a range that holds the true value with 95 % confidence.
type Interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// resamples is how often Ratio draws each side anew.
const resamples = 4000

// Ratio returns median(b) / median(a) and its bootstrap interval: both sides are drawn
// anew, with replacement, many times. The draws are the same for the same values.
func Ratio(a, b []float64) (ratio float64, spread Interval) {
	random := rand.New(rand.NewPCG(uint64(len(a)), uint64(len(b))))
	ratios := make([]float64, 0, resamples)
	drawnA, drawnB := make([]float64, len(a)), make([]float64, len(b))
	for range resamples {
		if top, bottom := redraw(random, drawnB, b), redraw(random, drawnA, a); bottom != 0 {
			ratios = append(ratios, top/bottom)
		}
	}
	ratio = Median(b) / Median(a)
	if len(ratios) == 0 {
		return ratio, Interval{math.NaN(), math.NaN()}
	}
	slices.Sort(ratios)
	last := float64(len(ratios) - 1)
	return ratio, Interval{ratios[int(last*0.025)], ratios[int(math.Ceil(last*0.975))]}
}

func redraw(random *rand.Rand, into, from []float64) float64 {
	for i := range into {
		into[i] = from[random.IntN(len(from))]
	}
	slices.Sort(into)
	return sortedMedian(into)
}
