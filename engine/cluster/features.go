package cluster

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Supported is one feature that this program has, and the levels of it that it can run.
type Supported struct {
	Name     string
	Min, Max int16
}

// metadataVersion is the level of Kafka 4.3 (4.3-IV0), which the meaning of our records follows.
const metadataVersion = 30

// Features that the broker itself looks at. A cluster that was founded before one of them
// was known does not have it until somebody finalizes it.
const (
	// GroupVersion is the feature by which consumer groups are allowed (KIP-848).
	GroupVersion = "group.version"
	// TransactionVersion is the feature by which clients know transactions of version 2 (KIP-890).
	TransactionVersion = "transaction.version"
)

// SupportedFeatures are the features that may be finalized, in the order of their names.
// Only what fully works is here: a client that finds a feature finalized relies on it.
func SupportedFeatures() []Supported {
	return []Supported{
		{Name: GroupVersion, Min: 0, Max: 1},
		{Name: "kraft.version", Min: 0, Max: 0},
		{Name: "metadata.version", Min: metadataVersion, Max: metadataVersion},
		{Name: TransactionVersion, Min: 0, Max: 2},
	}
}

// Found decides the first records of a new cluster: its id, and every supported feature at
// its highest level.
func Found(clusterID string) []Record {
	records := []Record{&ClusterRecord{ID: clusterID}}
	for _, feature := range SupportedFeatures() {
		if feature.Max > 0 {
			records = append(records, &FeatureRecord{Name: feature.Name, Level: feature.Max})
		}
	}
	return records
}

// Ways to change the level of a feature.
const (
	upgrade         = 1
	safeDowngrade   = 2
	unsafeDowngrade = 3
)

// UpdateFeatures decides which features get another level (KIP-584). Either all of a request
// is done, or nothing, for the first reason that there is. node is who decides.
func UpdateFeatures(i *Image, node int32, updates []kmsg.UpdateFeaturesRequestFeatureUpdate) ([]Record, *Refusal) {
	var records []Record
	seen := map[string]bool{}
	for n := range updates {
		u := &updates[n]
		r := checkFeature(i, node, u)
		if seen[u.Feature] {
			r = refuse(kerr.InvalidRequest, "The feature %s is updated twice.", u.Feature)
		}
		if r != nil {
			return nil, refuse(r.Code, "The update failed for all features since the following feature had an error: %s", r.Message)
		}
		seen[u.Feature] = true
		if u.MaxVersionLevel != i.FeatureLevel(u.Feature) {
			records = append(records, &FeatureRecord{Name: u.Feature, Level: u.MaxVersionLevel})
		}
	}
	return records, nil
}

func checkFeature(i *Image, node int32, u *kmsg.UpdateFeaturesRequestFeatureUpdate) *Refusal {
	switch {
	case u.UpgradeType < upgrade || u.UpgradeType > unsafeDowngrade:
		return refuse(kerr.InvalidUpdateVersion, "Invalid update version %d for feature %s. The controller does not support the given upgrade type.", u.MaxVersionLevel, u.Feature)
	case u.MaxVersionLevel < 0:
		return refuse(kerr.InvalidUpdateVersion, "Invalid update version %d for feature %s. A feature version cannot be less than 0.", u.MaxVersionLevel, u.Feature)
	}
	for _, f := range SupportedFeatures() {
		if f.Name != u.Feature {
			continue
		}
		down := u.MaxVersionLevel < i.FeatureLevel(f.Name)
		switch {
		case f.Max == 0 && u.MaxVersionLevel != 0:
			return unknownFeature(node, u)
		case u.MaxVersionLevel < f.Min || u.MaxVersionLevel > f.Max:
			return refuse(kerr.InvalidUpdateVersion, "Invalid update version %d for feature %s. Local controller %d only supports versions %d-%d",
				u.MaxVersionLevel, f.Name, node, f.Min, f.Max)
		case down && u.UpgradeType == upgrade:
			return refuse(kerr.InvalidUpdateVersion, "Invalid update version %d for feature %s. Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.", u.MaxVersionLevel, f.Name)
		}
		return nil
	}
	return unknownFeature(node, u)
}

func unknownFeature(node int32, u *kmsg.UpdateFeaturesRequestFeatureUpdate) *Refusal {
	if u.MaxVersionLevel == 0 {
		return refuse(kerr.InvalidUpdateVersion, "Invalid update version 0 for feature %s. Feature %s not found.", u.Feature, u.Feature)
	}
	return refuse(kerr.InvalidUpdateVersion, "Invalid update version %d for feature %s. Local controller %d does not support this feature.",
		u.MaxVersionLevel, u.Feature, node)
}
