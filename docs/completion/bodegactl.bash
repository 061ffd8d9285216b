# SPDX-License-Identifier: Apache-2.0
# bash completion for bodegactl; made by tools/manual.py of what bodegactl says itself.
_bodegactl() {
	local word=$2 previous=$3 words="" options=""
	COMPREPLY=()
	case $previous in
	--output|-o)
		mapfile -t COMPREPLY < <(compgen -W "table json" -- "$word")
		return
		;;
	--role|-r)
		mapfile -t COMPREPLY < <(compgen -W "customer seller support admin" -- "$word")
		return
		;;
	--ca-file|--dir|--password-file|-p)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	esac
	if [ "$COMP_CWORD" -eq 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W "check events migrate probe seed status user verify --help --version" -- "$word")
		return
	fi
	case ${COMP_WORDS[1]} in
	check) words="gateway users products orders payments" options="--purchase --metrics --connections --ca-file --output --help" ;;
	events) words="backlog dead redrive" options="--id --all --output --help" ;;
	migrate) words="up down status new" options="--database --dir --to --wait --output --help" ;;
	probe) words="live ready started" options="--url --help" ;;
	seed) words="" options="--database --products --seller --help" ;;
	status) words="" options="--output --help" ;;
	user) words="create role" options="--email --role --name --username --password-file --output --help" ;;
	verify) words="" options="--settled --watch --output --help" ;;
	esac
	case $word in
	-*) mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word") ;;
	*) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word") ;;
	esac
}
complete -F _bodegactl bodegactl
