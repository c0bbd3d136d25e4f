package dashboards

import (
	"fmt"
	"slices"
	"strings"
)

// chosen is the data source that is chosen at the top of the dashboard.
var chosen = &datasource{Type: "prometheus", UID: "${datasource}"}

// row is a heading with the panels below it.
type row struct {
	title  string
	panels []Panel
}

// query is an expression and how its series are called.
type query struct{ expr, legend string }

// width is how wide the page is in Grafana's units.
const width = 24

// layout places rows one below the other, and the panels of a row from left to
// right. Panels come with their size.
func layout(rows []row) (panels []Panel) {
	id, y := 1, 0
	for _, r := range rows {
		open := false
		panels = append(panels, Panel{ID: id, Type: "row", Title: r.title, Collapsed: &open, GridPos: gridPos{H: 1, W: width, Y: y}})
		id, y = id+1, y+1
		x, height := 0, 0
		for _, p := range r.panels {
			if x+p.GridPos.W > width {
				x, y, height = 0, y+height, 0
			}
			p.ID, p.GridPos.X, p.GridPos.Y = id, x, y
			panels = append(panels, p)
			id, x, height = id+1, x+p.GridPos.W, max(height, p.GridPos.H)
		}
		y += height
	}
	return panels
}

// panel is what panels of all types have in common.
func panel(kind, title, unit, description string, w, h int, queries []query) Panel {
	p := Panel{
		Type: kind, Title: title, Description: description, Datasource: chosen,
		GridPos:     gridPos{W: w, H: h},
		FieldConfig: &fieldConfig{Defaults: fieldDefaults{Unit: unit}, Overrides: []fieldOverride{}},
	}
	for i, q := range queries {
		p.Targets = append(p.Targets, Target{
			RefID: string(rune('A' + i)), Datasource: chosen, Expr: q.expr, LegendFormat: q.legend,
			Format: "time_series", Range: true,
		})
	}
	return p
}

// graph shows values over time, from zero.
func graph(title, unit, description string, w int, queries ...query) Panel {
	p := panel("timeseries", title, unit, description, w, 8, queries)
	d := &p.FieldConfig.Defaults
	d.Min, d.Color = new(float64), object{"mode": "palette-classic"}
	d.Custom = object{
		"drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": false,
		"stacking": object{"mode": "none", "group": "A"},
	}
	p.Options = object{
		"legend":  object{"displayMode": "table", "placement": "bottom", "showLegend": true, "calcs": []string{"lastNotNull", "max"}},
		"tooltip": object{"mode": "multi", "sort": "desc"},
	}
	return p
}

// stat shows one number, which is coloured from the given values on: amber and red,
// or neither.
func stat(title, unit, description, expr string, limits ...float64) Panel {
	p := panel("stat", title, unit, description, 4, 4, []query{{expr, ""}})
	colors := []string{"green", "orange", "red"}
	t := &thresholds{Mode: "absolute", Steps: []step{{Color: colors[0]}}}
	for i := range limits {
		t.Steps = append(t.Steps, step{colors[i+1], &limits[i]})
	}
	p.FieldConfig.Defaults.Thresholds = t
	p.FieldConfig.Defaults.Color = object{"mode": "thresholds"}
	p.Options = object{
		"reduceOptions": object{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
		"colorMode":     "value", "graphMode": "area", "textMode": "auto", "justifyMode": "auto", "orientation": "auto",
	}
	return p
}

// how a slow or refused pair is found from a panel with exemplars.
const exemplarNote = "The dots are exemplars: pairs that became a trace. A click on one shows its trace_id, and a " +
	"link to the trace if the data source has a link for exemplars with the label trace_id."

// exemplars shows the traces that Prometheus keeps with what is counted.
func exemplars(p Panel) Panel {
	p.Description += " " + exemplarNote
	for i := range p.Targets {
		p.Targets[i].Exemplar = true
	}
	return p
}

// stacked shows the parts of a sum one above the other.
func stacked(p Panel) Panel {
	p.FieldConfig.Defaults.Custom["stacking"] = object{"mode": "normal", "group": "A"}
	p.FieldConfig.Defaults.Custom["fillOpacity"] = 30
	return p
}

// share shows 0 to 1 as 0 % to 100 %. Small shares still fill the panel.
func share(p Panel) Panel {
	p.FieldConfig.Defaults.Unit = "percentunit"
	return p
}

// linked makes each value lead to somewhere.
func linked(p Panel, title, url string) Panel {
	p.FieldConfig.Defaults.Links = append(p.FieldConfig.Defaults.Links, link{Title: title, URL: url})
	return p
}

// heatmap shows how the durations are distributed over time.
func heatmap(title, description, expr string, w int) Panel {
	p := exemplars(panel("heatmap", title, "s", description, w, 9, []query{{expr, "{{le}}"}}))
	p.Targets[0].Format = "heatmap"
	p.FieldConfig.Defaults.Custom = object{"scaleDistribution": object{"type": "linear"}}
	p.Options = object{
		"calculate": false, "cellGap": 1, "rowsFrame": object{"layout": "auto"},
		"color":        object{"mode": "scheme", "scheme": "Oranges", "fill": "dark-orange", "scale": "exponential", "exponent": 0.5, "steps": 64},
		"yAxis":        object{"unit": "s", "axisPlacement": "left"},
		"cellValues":   object{"unit": "short"},
		"filterValues": object{"le": 1e-9},
		"exemplars":    object{"color": "rgba(255,0,255,0.7)"},
		"legend":       object{"show": true},
		"tooltip":      object{"mode": "single", "yHistogram": true, "showColorScale": false},
	}
	return p
}

// column is one column of a table.
type column struct {
	title, unit, expr string
}

// table has a line for each combination of labels, and a column for each
// expression.
func table(title, description string, columns []column, hidden ...string) Panel {
	p := panel("table", title, "short", description, width, 10, nil)
	rename, exclude := object{}, object{"Time": true}
	for _, label := range hidden {
		exclude[label] = true
	}
	for i, c := range columns {
		ref := string(rune('A' + i))
		p.Targets = append(p.Targets, Target{RefID: ref, Datasource: chosen, Expr: c.expr, Format: "table", Instant: true})
		field := "Value #" + ref
		if c.title == "" { // asked for its labels alone
			exclude[field] = true
			continue
		}
		rename[field] = c.title
		p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, fieldOverride{
			Matcher: matcher{"byName", c.title}, Properties: []property{{"unit", c.unit}},
		})
	}
	p.Options = object{"showHeader": true, "sortBy": []object{{"displayName": columns[0].title, "desc": true}}}
	p.Transformations = []transformation{
		{ID: "merge", Options: object{}},
		{ID: "organize", Options: object{"excludeByName": exclude, "renameByName": rename, "indexByName": object{}}},
	}
	return p
}

// datasourceVariable is the choice of a Prometheus.
var datasourceVariable = Variable{
	Name: "datasource", Label: "Data source", Type: "datasource", Query: "prometheus", Refresh: 1,
}

// choice is a choice of the values that a label has.
func choice(name, description, label, matchers string, several bool) Variable {
	values := fmt.Sprintf("label_values(foo_sidecar_build_info%s, %s)", matchers, label)
	if label == "listener" {
		values = fmt.Sprintf("label_values(foo_sidecar_in_flight_requests%s, %s)", matchers, label)
	}
	v := Variable{
		Name: name, Label: strings.ToUpper(name[:1]) + name[1:], Description: description, Type: "query",
		Datasource: chosen, Query: values, Definition: values, Refresh: 2, Sort: 1,
	}
	if several {
		// The values themselves would make long queries, and a sidecar that has no
		// such label should be found as well.
		v.Multi, v.IncludeAll, v.AllValue, v.Current = true, true, ".*", &option{"All", "$__all"}
	}
	return v
}

// dashboard is what both dashboards have in common.
func dashboard(uid, title, description, from string, variables []Variable, rows []row) Dashboard {
	return Dashboard{
		UID: uid, Title: title, Description: description, Tags: []string{tag}, SchemaVersion: 39, Version: 1,
		Editable: true, GraphTooltip: 1, Timezone: "browser", Refresh: "30s", Time: timeRange{from, "now"},
		Templating: templating{slices.Concat([]Variable{datasourceVariable}, variables)},
		Panels:     layout(rows),
	}
}

const (
	tag         = "foo-sidecar"
	overviewUID = "foo-sidecar-overview"
	podUID      = "foo-sidecar-pod"
)
