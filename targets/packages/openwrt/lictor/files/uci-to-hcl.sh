# shellcheck shell=dash
# Says in HCL what /etc/config/lictor says in UCI. To be sourced after /lib/functions.sh; then
# `lictor_hcl` writes to standard output. Values are quoted; that they mean something is for
# `lictor check` to see.

# quoted VALUE: as a string of HCL. A line break cannot be in a value of UCI.
quoted() {
	printf '"%s"' "$(printf '%s' "$1" | sed 's/[\\"]/\\&/g')"
}

# assign KEY VALUE: a line, if there is a value.
assign() {
	[ -z "$2" ] || printf '  %s = %s\n' "$1" "$(quoted "$2")"
}

# Called for each value of a list.
list_item() {
	printf '%s, ' "$(quoted "$1")"
}

# named_list SECTION BLOCK KEY OPTION: a block with one list, for a section of UCI.
named_list() {
	local name
	config_get name "$1" name "$1"
	printf '  %s %s {\n    %s = [' "$2" "$(quoted "$name")" "$3"
	config_list_foreach "$1" "$4" list_item
	printf ']\n  }\n'
}

service_block() {
	named_list "$1" service endpoints endpoint
}

datacenter_block() {
	named_list "$1" datacenter gateways gateway
}

lictor_hcl() {
	local address port datacenter trust_domain admin log_level
	config_get address main address
	config_get port main port 8443
	config_get datacenter main datacenter
	config_get trust_domain main trust_domain
	config_get admin main admin
	config_get log_level main log_level

	printf 'service {\n  name = "mesh-gateway"\n  kind = "mesh-gateway"\n'
	assign address "$address"
	assign port "$port"
	printf '}\nlictor {\n'
	assign datacenter "$datacenter"
	assign trust_domain "$trust_domain"
	assign admin "$admin"
	# procd keeps the lines, and puts the time before them.
	[ -z "$log_level" ] || printf '  log { level = %s }\n' "$(quoted "$log_level")"
	config_foreach service_block service
	config_foreach datacenter_block datacenter
	printf '}\n'
}
