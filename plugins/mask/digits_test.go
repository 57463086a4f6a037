package mask

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/millrace/millrace/plugins/wasm"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
)

func TestRunsOfDigitsAreHiddenButForTheLast(t *testing.T) {
	mask := made(t, map[string]string{"digits": "16"})
	for value, want := range map[string]string{
		"card 4111111111111111, thanks":       "card ************1111, thanks",
		"4111111111111111":                    "************1111",
		"41111111111111112222":                "****************2222",
		"411111111111111":                     "411111111111111", // fifteen
		"a4111111111111111b5500000000000004c": "a************1111b************0004c",
		"":                                    "",
	} {
		got, err := through(t, mask, value)
		if err != nil || got[0] != want {
			t.Errorf("%q became %q, %v, want %q", value, got, err, want)
		}
	}
	for _, wrong := range []string{"4", "-1"} {
		if _, err := sdk.Interceptors.New("mask", sdk.NewConfig(map[string]string{"digits": wrong})); err == nil || !strings.Contains(err.Error(), "digits") {
			t.Errorf("digits=%s: %v", wrong, err)
		}
	}
}

// The expression is the slow clear version.
func TestRunsAreThoseOfTheExpression(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		n := 5 + random.IntN(6)
		value := make([]byte, random.IntN(60))
		for i := range value {
			value[i] = "0123456789xx"[random.IntN(12)]
		}
		want := regexp.MustCompile(fmt.Sprintf(`\d{%d,}`, n)).ReplaceAllFunc(bytes.Clone(value), func(found []byte) []byte {
			return append(bytes.Repeat([]byte("*"), len(found)-shown), found[len(found)-shown:]...)
		})
		got := bytes.Clone(value)
		from, to := run(got, 0, n)
		hideDigits(got, from, to, n)
		if !bytes.Equal(got, want) {
			t.Fatalf("%q, runs of %d: %q, want %q", value, n, got, want)
		}
	}
}

// The example in Rust does the same to cards of sixteen digits, which is what rows 24 and 25 of
// the table of limits compare.
func TestTheModuleInRustHidesTheSame(t *testing.T) {
	module, err := wasm.New(sdk.NewConfig(map[string]string{"path": filepath.Join("..", "wasm", "testdata", "mask.wasm")}))
	if err != nil {
		t.Fatal(err)
	}
	values := []string{"4111111111111111", "x 5500000000000004 and 4111111111111111.", "none", strings.Repeat("-", 84) + "1234567812345678"}
	want, err := through(t, made(t, map[string]string{"digits": "16"}), values...)
	if err != nil {
		t.Fatal(err)
	}
	got, err := through(t, module, values...)
	if err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}

func BenchmarkMask(b *testing.B) {
	value := []byte(strings.Repeat("-", 42) + "1234567812345678" + strings.Repeat("-", 42))
	for name, settings := range map[string]map[string]string{"digits": {"digits": "16"}, "regex": {"regex": `\d{16}`}} {
		b.Run(name, func(b *testing.B) {
			mask := made(b, settings)
			var builder batch.Builder
			for range 149 {
				builder.Append(1, nil, value, nil)
			}
			whole, err := builder.Finish(batch.NoProducer())
			if err != nil {
				b.Fatal(err)
			}
			var in sdk.Batch
			for b.Loop() {
				if err := in.Open(whole, whole[batch.HeaderSize:]); err != nil {
					b.Fatal(err)
				}
				if err := mask.OnProduce(&in); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/149, "ns/record")
		})
	}
}
