package cluster

// Supported is one feature that this program has, and the levels of it that it can run.
type Supported struct {
	Name     string
	Min, Max int16
}

// metadataVersion is the level of Kafka 4.3 (4.3-IV0), which the meaning of our records follows.
const metadataVersion = 30

// SupportedFeatures are the features that may be finalized, in the order of their names.
// Only what fully works is here: a client that finds transaction.version finalized would
// rely on it.
func SupportedFeatures() []Supported {
	return []Supported{
		{Name: "group.version", Min: 0, Max: 1},
		{Name: "kraft.version", Min: 0, Max: 0},
		{Name: "metadata.version", Min: metadataVersion, Max: metadataVersion},
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
