package cluster

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestUpdateFeatures(t *testing.T) {
	image, err := Empty().Apply(Found("MkU3OEVBNTcwNTJENDM2Qg"))
	if err != nil {
		t.Fatal(err)
	}
	update := func(name string, level int16, way int8) kmsg.UpdateFeaturesRequestFeatureUpdate {
		return kmsg.UpdateFeaturesRequestFeatureUpdate{Feature: name, MaxVersionLevel: level, UpgradeType: way}
	}
	for name, test := range map[string]struct {
		updates []kmsg.UpdateFeaturesRequestFeatureUpdate
		records int
		refused bool
	}{
		"what is so":                     {[]kmsg.UpdateFeaturesRequestFeatureUpdate{update(TransactionVersion, 2, upgrade)}, 0, false},
		"down, said so":                  {[]kmsg.UpdateFeaturesRequestFeatureUpdate{update(TransactionVersion, 0, safeDowngrade)}, 1, false},
		"down, not safe":                 {[]kmsg.UpdateFeaturesRequestFeatureUpdate{update(TransactionVersion, 1, unsafeDowngrade)}, 1, false},
		"down, not said":                 {[]kmsg.UpdateFeaturesRequestFeatureUpdate{update(TransactionVersion, 1, upgrade)}, 0, true},
		"no way":                         {[]kmsg.UpdateFeaturesRequestFeatureUpdate{update(TransactionVersion, 2, 0)}, 0, true},
		"too high":                       {[]kmsg.UpdateFeaturesRequestFeatureUpdate{update(TransactionVersion, 3, upgrade)}, 0, true},
		"negative":                       {[]kmsg.UpdateFeaturesRequestFeatureUpdate{update(TransactionVersion, -1, safeDowngrade)}, 0, true},
		"that only has level 0":          {[]kmsg.UpdateFeaturesRequestFeatureUpdate{update("kraft.version", 1, upgrade)}, 0, true},
		"of no feature":                  {[]kmsg.UpdateFeaturesRequestFeatureUpdate{update("odd", 1, upgrade)}, 0, true},
		"twice":                          {[]kmsg.UpdateFeaturesRequestFeatureUpdate{update(TransactionVersion, 2, 1), update(TransactionVersion, 2, 1)}, 0, true},
		"one of two: nothing is changed": {[]kmsg.UpdateFeaturesRequestFeatureUpdate{update(TransactionVersion, 0, 2), update("odd", 1, 1)}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			records, first := UpdateFeatures(image, 1, test.updates)
			if len(records) != test.records || (first != nil) != test.refused {
				t.Fatalf("%d records, %v", len(records), first)
			}
			next, err := image.Apply(records)
			if err != nil || len(records) > 0 && next.FeatureLevel(TransactionVersion) != test.updates[0].MaxVersionLevel {
				t.Fatalf("level %d, %v", next.FeatureLevel(TransactionVersion), err)
			}
		})
	}
}
