package results

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestMannWhitney(t *testing.T) {
	for name, test := range map[string]struct {
		a, b []float64
		want float64
	}{
		"five against five, all smaller": {[]float64{1, 2, 3, 4, 5}, []float64{6, 7, 8, 9, 10}, 2.0 / 252},
		"the other way round":            {[]float64{6, 7, 8, 9, 10}, []float64{1, 2, 3, 4, 5}, 2.0 / 252},
		"three against three":            {[]float64{1, 2, 3}, []float64{4, 5, 6}, 2.0 / 20},
		"interleaved":                    {[]float64{1, 4, 5, 8}, []float64{2, 3, 6, 7}, 1},
		"all the same":                   {[]float64{3, 3, 3}, []float64{3, 3, 3}, 1},
		"one tie":                        {[]float64{1, 2}, []float64{2, 3}, 4.0 / 6},
		"nothing":                        {nil, []float64{1}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := MannWhitney(test.a, test.b); math.Abs(got-test.want) > 1e-9 {
				t.Errorf("p = %v, want %v", got, test.want)
			}
		})
	}
}

// Where both can be had, the normal approximation must agree with the exact count.
func TestMannWhitneyApproximationAgrees(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		values := make([]float64, 20)
		for i := range values {
			values[i] = math.Round(random.NormFloat64()*4) + float64(i/10)
		}
		ranks := midranks(values)
		exact, normal := exactRankSum(ranks, 10), normalRankSum(ranks, 10)
		if math.Abs(exact-normal) > 0.04 {
			t.Errorf("exact p = %.3f, approximated %.3f for %v", exact, normal, values)
		}
	}
}

func TestRatio(t *testing.T) {
	ratio, spread := Ratio([]float64{10, 11, 9, 10, 10}, []float64{20, 21, 19, 22, 20})
	if ratio != 2 || spread.Low < 1.7 || spread.High > 2.4 || spread.Low > 2 || spread.High < 2 {
		t.Errorf("ratio %v, spread %v", ratio, spread)
	}
	if again, same := Ratio([]float64{10, 11, 9, 10, 10}, []float64{20, 21, 19, 22, 20}); again != ratio || same != spread {
		t.Error("the same values give another answer")
	}
}

func TestMedian(t *testing.T) {
	if got := Median([]float64{5, 1, 3}); got != 3 {
		t.Errorf("median of 1 3 5 is %v", got)
	}
	if got := Median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("median of 1 2 3 4 is %v", got)
	}
	if !math.IsNaN(Median(nil)) {
		t.Error("nothing has a median")
	}
}
