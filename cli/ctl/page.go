package ctl

import (
	"context"
	"fmt"

	"github.com/zerokeeper/zero/transport/api"
)

// pageSize is asked for at a time and maxRows is shown in all.
const (
	pageSize = 500
	maxRows  = 100_000
)

// pages reads a list to its end, or to limit rows (0: to the end). ask fills one
// page and returns its rows and the next cursor.
func pages[T any](ctx context.Context, limit int, ask func(context.Context, api.Page) ([]T, string, error)) ([]T, error) {
	if limit <= 0 || limit > maxRows {
		limit = maxRows
	}
	rows := []T{}
	page := api.Page{Limit: min(pageSize, limit)}
	for {
		got, next, err := ask(ctx, page)
		if err != nil {
			return nil, err
		}
		rows = append(rows, got...)
		switch {
		case len(rows) >= limit:
			return rows[:limit], nil
		case next == "":
			return rows, nil
		case next == page.Cursor || len(got) == 0:
			return nil, fmt.Errorf("the list does not go on after %d rows: cursor %q came again", len(rows), next)
		}
		page.Cursor = next
	}
}
