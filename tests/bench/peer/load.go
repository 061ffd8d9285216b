// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// What one worker saw. late: how long after its time a request of the open model was sent.
type tally struct {
	latencies, late []time.Duration
	statuses        map[int]int
	failure         error
}

type loader struct {
	client         *http.Client
	method, url    string
	bodies, tokens []string
}

// load sends requests and prints what came of them as JSON. Without -rate each client sends its next request when the
// last one is answered (closed model). With -rate requests have their times, kept whatever the answers do (open model),
// and latency counts from that time: waiting for a free client counts too.
func load(arguments []string) error {
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	url := flags.String("url", "", "where to")
	method := flags.String("method", http.MethodGet, "the method")
	bodies := flags.String("bodies", "", "a file with a body a line, sent in turn")
	tokens := flags.String("tokens", "", "a file with a bearer token a line; clients use them in turn")
	clients := flags.Int("clients", 32, "how many clients")
	rate := flags.Float64("rate", 0, "requests a second of all clients together; 0: as fast as they are answered")
	duration := flags.Duration("duration", 5*time.Second, "how long")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	l := &loader{method: *method, url: *url, client: &http.Client{Timeout: 30 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: *clients, MaxConnsPerHost: *clients}}}
	var errBodies, errTokens error
	l.bodies, errBodies = lines(*bodies)
	l.tokens, errTokens = lines(*tokens)
	if err := errors.Join(errBodies, errTokens); err != nil {
		return err
	}
	times := make(chan time.Time) // of the open model
	results := make([]tally, *clients)
	begin := time.Now()
	end := begin.Add(*duration)
	var running sync.WaitGroup
	for i := range results {
		running.Go(func() {
			if *rate > 0 {
				results[i] = l.open(i, times)
			} else {
				results[i] = l.closed(i, end)
			}
		})
	}
	if *rate > 0 {
		pace(times, begin, end, *rate)
	}
	running.Wait()
	return report(results, time.Since(begin))
}

func lines(path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var all []string
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		all = append(all, scanner.Text())
	}
	return all, nil
}

// pace gives the workers the times of their requests. A time that no worker is free for waits, and stays what it was.
func pace(times chan<- time.Time, begin, end time.Time, rate float64) {
	for i := 0; ; i++ {
		at := begin.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		if !at.Before(end) {
			close(times)
			return
		}
		time.Sleep(time.Until(at))
		times <- at
	}
}

func (l *loader) closed(client int, end time.Time) tally {
	result := tally{statuses: map[int]int{}}
	for i := client; result.failure == nil; i += 97 {
		begin := time.Now()
		if !begin.Before(end) {
			break
		}
		l.send(client, i, begin, &result)
	}
	return result
}

func (l *loader) open(client int, times <-chan time.Time) tally {
	result := tally{statuses: map[int]int{}}
	i := client
	for at := range times {
		result.late = append(result.late, time.Since(at))
		l.send(client, i, at, &result)
		i += 97
	}
	return result
}

func (l *loader) send(client, i int, begin time.Time, result *tally) {
	var body io.Reader
	if len(l.bodies) > 0 {
		body = strings.NewReader(l.bodies[i%len(l.bodies)])
	}
	request, err := http.NewRequest(l.method, l.url, body)
	if err != nil {
		result.failure = err
		return
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if len(l.tokens) > 0 {
		request.Header.Set("Authorization", "Bearer "+l.tokens[client%len(l.tokens)])
	}
	answer, err := l.client.Do(request)
	if err != nil {
		result.statuses[0]++
		result.failure = err
		return
	}
	_, err = io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
	if err != nil {
		result.failure = err
	}
	result.statuses[answer.StatusCode]++
	result.latencies = append(result.latencies, time.Since(begin))
}

func report(results []tally, took time.Duration) error {
	var latencies, late []time.Duration
	statuses := map[int]int{}
	failure := ""
	for _, result := range results {
		latencies = append(latencies, result.latencies...)
		late = append(late, result.late...)
		for status, count := range result.statuses {
			statuses[status] += count
		}
		if result.failure != nil {
			failure = result.failure.Error()
		}
	}
	slices.Sort(latencies)
	slices.Sort(late)
	var out bytes.Buffer
	err := json.NewEncoder(&out).Encode(map[string]any{
		"requests": len(latencies), "seconds": took.Seconds(), "statuses": statuses, "failure": failure,
		"p50_ms": quantile(latencies, 0.5), "p99_ms": quantile(latencies, 0.99), "max_ms": quantile(latencies, 1),
		"late_p99_ms": quantile(late, 0.99),
	})
	if err == nil {
		_, err = out.WriteTo(os.Stdout)
	}
	return err
}

func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[int(q*float64(len(sorted)-1))]) / float64(time.Millisecond)
}
