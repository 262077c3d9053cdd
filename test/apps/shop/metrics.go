package main

import (
	"fmt"
	"io"
	"sort"
	"strconv"
	"sync"
	"time"
)

// Upper bounds of the histogram in seconds: the usual ones, which the built-in latency queries interpolate between.
var bounds = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}

// labels tells requests apart. The path is always "root": what a client asks for must not make new series.
type labels struct {
	method string
	status int
}

func (l labels) String() string {
	return fmt.Sprintf(`method=%q,path="root",status="%d"`, l.method, l.status)
}

type histogram struct {
	buckets []uint64 // by bound, not cumulative; the last one is above all bounds
	sum     float64
	count   uint64
}

type metrics struct {
	mutex  sync.Mutex
	series map[labels]*histogram
}

func newMetrics() *metrics {
	m := &metrics{series: map[labels]*histogram{}}
	// The usual series exist from the start, so that the first failure is a rise from 0 which rate() can see.
	m.get(labels{"GET", 200})
	m.get(labels{"GET", 500})
	return m
}

func (m *metrics) get(l labels) *histogram {
	if m.series[l] == nil {
		m.series[l] = &histogram{buckets: make([]uint64, len(bounds)+1)}
	}
	return m.series[l]
}

func (m *metrics) observe(l labels, took time.Duration) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	h := m.get(l)
	h.buckets[sort.SearchFloat64s(bounds, took.Seconds())]++
	h.sum += took.Seconds()
	h.count++
}

// write prints the text format of Prometheus.
func (m *metrics) write(w io.Writer) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	keys := make([]labels, 0, len(m.series))
	for l := range m.series {
		keys = append(keys, l)
	}
	sort.Slice(keys, func(i, j int) bool { return keys[i].String() < keys[j].String() })

	fmt.Fprintln(w, "# HELP http_requests_total Answered requests.\n# TYPE http_requests_total counter")
	for _, l := range keys {
		fmt.Fprintf(w, "http_requests_total{%s,code=\"%d\"} %d\n", l, l.status, m.series[l].count)
	}
	fmt.Fprintln(w, "# HELP http_request_duration_seconds Time to answer.\n# TYPE http_request_duration_seconds histogram")
	for _, l := range keys {
		h, below := m.series[l], uint64(0)
		for i, bound := range bounds {
			below += h.buckets[i]
			fmt.Fprintf(w, "http_request_duration_seconds_bucket{%s,le=%q} %d\n", l, strconv.FormatFloat(bound, 'g', -1, 64), below)
		}
		fmt.Fprintf(w, "http_request_duration_seconds_bucket{%s,le=\"+Inf\"} %d\n", l, h.count)
		fmt.Fprintf(w, "http_request_duration_seconds_sum{%s} %g\n", l, h.sum)
		fmt.Fprintf(w, "http_request_duration_seconds_count{%s} %d\n", l, h.count)
	}
}
