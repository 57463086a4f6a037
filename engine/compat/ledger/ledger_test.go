package ledger

import "testing"

func TestJudge(t *testing.T) {
	for name, test := range map[string]struct {
		acked, read                  []int64
		lost, duplicated, outOfOrder int
	}{
		"all well":                        {acked: []int64{0, 1, 2}, read: []int64{0, 1, 2}},
		"an unacked record may be there":  {acked: []int64{0}, read: []int64{0, 1}},
		"an unacked record may be absent": {acked: []int64{0, 2}, read: []int64{0, 2}},
		"an acked record is gone":         {acked: []int64{0, 1, 2}, read: []int64{0, 2}, lost: 1},
		"a retry was appended again":      {acked: []int64{0, 1}, read: []int64{0, 1, 1}, duplicated: 1},
		"two batches changed places":      {acked: []int64{0, 1, 2, 3}, read: []int64{2, 3, 0, 1}, outOfOrder: 2},
		"nothing came back":               {acked: []int64{0, 1}, lost: 2},
	} {
		t.Run(name, func(t *testing.T) {
			l := New()
			s := Stream{Producer: "p", Partition: 3}
			for _, n := range test.acked {
				l.Acked(s, n)
			}
			for _, n := range test.read {
				l.Read(s, n)
			}
			v := l.Judge()
			if v.Lost != test.lost || v.Duplicated != test.duplicated || v.OutOfOrder != test.outOfOrder {
				t.Errorf("judged %+v, want %d lost, %d duplicated, %d out of order", v, test.lost, test.duplicated, test.outOfOrder)
			}
			if wrong := test.lost+test.duplicated+test.outOfOrder > 0; (v.Err() != nil) != wrong {
				t.Errorf("Err() = %v", v.Err())
			}
		})
	}
}
