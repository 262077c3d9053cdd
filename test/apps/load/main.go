// Command load asks one URL at a steady rate for a fixed time and prints a summary as JSON.
//
//	load --url http://10.96.0.20/ --rate 100 --duration 30s --host shop.test --concurrency 20 --timeline
//
// It always ends: by the time, by the count, or by SIGTERM, whichever comes first, and prints the summary in each case.
// Requests start on a fixed schedule, whatever the answers; one that finds all clients busy is not sent,
// and counted as "dropped": the client's limit, not the server's failure.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

const (
	maxDuration = time.Hour
	maxRate     = 5000
	maxRequests = 1_000_000
)

type options struct {
	url, host, header string
	rate              float64
	duration, timeout time.Duration
	concurrency       int
	count             int
	timeline          bool
	noKeepAlive       bool
}

func main() {
	o := readOptions()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	summary := run(ctx, o)
	if err := json.NewEncoder(os.Stdout).Encode(summary); err != nil {
		log.Fatal(err)
	}
}

func readOptions() options {
	var o options
	flag.StringVar(&o.url, "url", "", "what to ask")
	flag.StringVar(&o.host, "host", "", "host header, if not the URL's")
	flag.StringVar(&o.header, "header", "", `one more header, "name: value"`)
	flag.Float64Var(&o.rate, "rate", 50, "requests per second")
	flag.DurationVar(&o.duration, "duration", 10*time.Second, "for how long")
	flag.IntVar(&o.count, "count", maxRequests, "at most so many requests")
	flag.IntVar(&o.concurrency, "concurrency", 100, "at most so many at once")
	flag.DurationVar(&o.timeout, "timeout", 5*time.Second, "longest wait for one answer")
	flag.BoolVar(&o.timeline, "timeline", false, "a line of JSON per second, before the summary")
	flag.BoolVar(&o.noKeepAlive, "no-keep-alive", false, "a new connection for every request")
	flag.Parse()
	switch {
	case o.url == "" || flag.NArg() > 0:
		log.Fatal("needs --url, and no further arguments")
	case o.rate <= 0 || o.rate > maxRate:
		log.Fatalf("--rate must be above 0 and at most %d", maxRate)
	case o.duration <= 0 || o.duration > maxDuration:
		log.Fatalf("--duration must be above 0 and at most %s", maxDuration)
	case o.count <= 0 || o.count > maxRequests:
		log.Fatalf("--count must be above 0 and at most %d", maxRequests)
	case o.concurrency < 1 || o.concurrency > 1000:
		log.Fatal("--concurrency must be from 1 to 1000")
	}
	return o
}

// run sends the requests and waits for all of them.
func run(ctx context.Context, o options) summary {
	// One pool of kept-alive connections, as a normal client or proxy has.
	client := &http.Client{
		Timeout: o.timeout,
		Transport: &http.Transport{
			MaxIdleConnsPerHost: o.concurrency,
			DisableKeepAlives:   o.noKeepAlive,
			DialContext:         (&net.Dialer{Timeout: o.timeout}).DialContext,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	began := time.Now()
	r := newRecorder(began)
	ctx, cancel := context.WithTimeout(ctx, o.duration)
	defer cancel()
	if o.timeline {
		go r.printTimeline(ctx)
	}

	var wait sync.WaitGroup
	busy := make(chan struct{}, o.concurrency)
	// What is due at the very end is the next second's.
	due := min(o.count, int(math.Round(o.rate*o.duration.Seconds())))
	for sent := range due {
		at := began.Add(time.Duration(float64(sent) / o.rate * float64(time.Second)))
		select {
		case <-ctx.Done():
			wait.Wait()
			return r.summary(time.Since(began))
		case <-time.After(time.Until(at)):
		}
		select {
		case busy <- struct{}{}:
			wait.Go(func() {
				r.add(ask(client, o))
				<-busy
			})
		default:
			r.drop()
		}
	}
	wait.Wait()
	return r.summary(time.Since(began))
}

// ask sends one request. Not bound to the run's context: what has begun may end.
func ask(client *http.Client, o options) answer {
	begin := time.Now()
	request, err := http.NewRequest(http.MethodGet, o.url, nil)
	if err != nil {
		return answer{failure: "request", message: err.Error()}
	}
	if o.host != "" {
		request.Host = o.host
	}
	if name, value, ok := cut(o.header); ok {
		request.Header.Set(name, value)
	}
	response, err := client.Do(request)
	if err == nil {
		defer response.Body.Close()
		_, err = io.Copy(io.Discard, response.Body)
	}
	if err != nil {
		return answer{failure: kindOf(err), message: err.Error(), took: time.Since(begin)}
	}
	version := response.Header.Get("x-version")
	if version == "" {
		version = "none"
	}
	return answer{code: fmt.Sprint(response.StatusCode), version: version, took: time.Since(begin)}
}
